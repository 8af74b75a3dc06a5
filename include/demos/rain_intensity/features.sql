-- One row an airport and hour: the weather that it reports, and how that has changed.
WITH today AS (
  SELECT w.* FROM weather w JOIN dates d ON w.date = d.date
),
rained AS (
  SELECT t.date, t.origin, t.time_hour, SUM(p.precip) AS inches
  FROM today t
  JOIN weather p
    ON p.origin = t.origin
    AND p.time_hour > t.time_hour - INTERVAL 6 HOURS
    AND p.time_hour <= t.time_hour
  GROUP BY t.date, t.origin, t.time_hour
)
SELECT /*+ BROADCAST(r, b) */
  t.date,
  t.origin,
  t.time_hour,
  HOUR(t.time_hour) * 60 AS observed_at,
  t.temp,
  t.dewp,
  t.humid,
  t.wind_speed,
  t.pressure,
  t.visib,
  t.precip,
  t.pressure - b.pressure AS pressure_change,
  t.humid - b.humid AS humid_change,
  r.inches AS rain_six_hours
FROM today t
LEFT JOIN rained r ON r.date = t.date AND r.origin = t.origin AND r.time_hour = t.time_hour
LEFT JOIN weather b ON b.origin = t.origin AND b.time_hour = t.time_hour - INTERVAL 3 HOURS
