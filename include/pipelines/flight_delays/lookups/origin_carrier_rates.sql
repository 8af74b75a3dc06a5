-- Carriers at an airport: how much later than the network as a whole, over the 28 days before as_of.
-- Rates relative to the network hold from day to day; absolute ones follow the weather. 50 flights of prior weight.
WITH counted AS (
  SELECT d.as_of, f.origin, f.carrier, COUNT(*) AS flights, SUM(CAST(f.is_late AS BIGINT)) AS late
  FROM dates d
  JOIN flights f ON f.date >= DATE_SUB(d.as_of, 28) AND f.date < d.as_of
  WHERE f.is_late IS NOT NULL
  GROUP BY d.as_of, f.origin, f.carrier
),
network AS (
  SELECT *, (SUM(late) OVER (PARTITION BY as_of) + 1) / (SUM(flights) OVER (PARTITION BY as_of) + 2) AS network_rate FROM counted
),
smoothed AS (
  SELECT *, (late + 50 * network_rate) / (flights + 50) AS rate FROM network
)
SELECT as_of, origin, carrier, LN(rate / (1 - rate)) - LN(network_rate / (1 - network_rate)) AS late_logit
FROM smoothed
