-- The worst of the next six hours: heavy with 0.05 inches in an hour or more. Rows with fewer than four of these hours have no label.
SELECT
  w.date,
  w.origin,
  w.time_hour,
  CASE WHEN MAX(n.precip) >= 0.05 THEN 'heavy' WHEN MAX(n.precip) > 0 THEN 'light' ELSE 'dry' END AS rain
FROM dates d
JOIN weather w ON w.date = d.date
JOIN weather n
  ON n.origin = w.origin
  AND n.date >= d.date AND n.date < d.as_of
  AND n.time_hour > w.time_hour
  AND n.time_hour <= w.time_hour + INTERVAL 6 HOURS
WHERE n.precip IS NOT NULL
GROUP BY w.date, w.origin, w.time_hour
HAVING COUNT(*) >= 4
