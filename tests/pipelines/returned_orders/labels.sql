-- One row an order that may be returned: whether it was, by the midnight at which that is known.
SELECT o.date, o.order_id, COUNT(r.order_id) > 0 AS is_returned
FROM dates d
JOIN orders o ON o.date = d.date
LEFT JOIN returns r ON r.order_id = o.order_id AND r.date >= d.date AND r.date < d.as_of
WHERE NOT o.is_gift
GROUP BY o.date, o.order_id
