-- Airports: the share of hours with rain over the 28 days before as_of.
SELECT d.as_of, w.origin, AVG(CASE WHEN w.precip > 0 THEN 1.0 ELSE 0.0 END) AS wet_share
FROM dates d
JOIN weather w ON w.date >= DATE_SUB(d.as_of, 28) AND w.date < d.as_of
WHERE w.precip IS NOT NULL
GROUP BY d.as_of, w.origin
