-- Each route's day against its 28 days before.
WITH recent AS (
  SELECT d.date, f.origin, f.dest, COUNT(*) AS flights, COUNT_IF(f.is_late) AS late
  FROM dates d JOIN flights f ON f.date >= DATE_SUB(d.date, 28) AND f.date < d.date
  GROUP BY d.date, f.origin, f.dest
),
today AS (
  SELECT d.date, f.origin, f.dest, COUNT(*) AS flights, COUNT_IF(f.is_late) AS late
  FROM dates d JOIN flights f ON f.date = d.date
  GROUP BY d.date, f.origin, f.dest
)
SELECT t.date, t.origin, t.dest, t.flights, t.late, r.flights AS flights_28_days, r.late AS late_28_days
FROM today t LEFT JOIN recent r ON r.date = t.date AND r.origin = t.origin AND r.dest = t.dest
