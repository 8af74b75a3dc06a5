-- Routes: minutes above the network's mean over the 28 days before as_of, drawn to it by 50 flights of prior weight.
WITH flown AS (
  SELECT d.as_of, f.origin, f.dest, LEAST(f.arrival_delay, 180) AS minutes
  FROM dates d
  JOIN flights f ON f.date >= DATE_SUB(d.as_of, 28) AND f.date < d.as_of
  WHERE f.arrival_delay IS NOT NULL
),
network AS (
  SELECT as_of, AVG(minutes) AS minutes FROM flown GROUP BY as_of
)
SELECT f.as_of, f.origin, f.dest, SUM(f.minutes - n.minutes) / (COUNT(*) + 50) AS minutes
FROM flown f
JOIN network n ON n.as_of = f.as_of
GROUP BY f.as_of, f.origin, f.dest
