-- One row an order with a known price; gifts are priced too, and cannot be returned.
SELECT o.date, o.order_id, o.category, o.price
FROM dates d JOIN orders o ON o.date = d.date
WHERE o.price IS NOT NULL
