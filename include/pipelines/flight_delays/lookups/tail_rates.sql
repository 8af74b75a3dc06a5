-- Aircraft: how much later than the network as a whole, over the 28 days before as_of.
-- Rates relative to the network hold from day to day; absolute ones follow the weather. 20 flights of prior weight.
WITH counted AS (
  SELECT d.as_of, f.tailnum, COUNT(*) AS flights, SUM(CAST(f.is_late AS BIGINT)) AS late
  FROM dates d
  JOIN flights f ON f.date >= DATE_SUB(d.as_of, 28) AND f.date < d.as_of
  WHERE f.is_late IS NOT NULL AND f.tailnum IS NOT NULL
  GROUP BY d.as_of, f.tailnum
),
network AS (
  SELECT *, (SUM(late) OVER (PARTITION BY as_of) + 1) / (SUM(flights) OVER (PARTITION BY as_of) + 2) AS network_rate FROM counted
),
smoothed AS (
  SELECT *, (late + 20 * network_rate) / (flights + 20) AS rate FROM network
)
SELECT as_of, tailnum, LN(rate / (1 - rate)) - LN(network_rate / (1 - network_rate)) AS late_logit
FROM smoothed
