-- Returns of the last days, for each order of these days, by category.
SELECT d.as_of, o.category, CAST(COUNT(r.order_id) AS DOUBLE) / COUNT(*) AS returned
FROM dates d
JOIN orders o ON o.date >= DATE_SUB(d.as_of, 2) AND o.date < d.as_of
LEFT JOIN returns r ON r.order_id = o.order_id AND r.date >= o.date AND r.date < d.as_of
GROUP BY d.as_of, o.category
