-- One row a flight that arrived: request fields, row key and label. Lookup values are joined by Perennial.
-- Schedules are known in advance, so cancelled flights count in flights_same_hour and flights_same_day.
WITH scheduled AS (
  SELECT
    f.*,
    COUNT(*) OVER (PARTITION BY f.date, f.origin, f.sched_dep_time DIV 60) AS flights_same_hour,
    COUNT(*) OVER (PARTITION BY f.date, f.origin) AS flights_same_day
  FROM flights f
  JOIN dates d ON f.date = d.date
)
SELECT
  s.date,
  s.sched_dep_time,
  s.sched_arr_time,
  s.distance,
  CAST(s.flights_same_hour AS DOUBLE) AS flights_same_hour,
  CAST(s.flights_same_day AS DOUBLE) AS flights_same_day,
  w.temp,
  w.humid,
  w.wind_speed,
  w.wind_gust,
  w.precip,
  w.pressure,
  w.visib,
  s.carrier,
  s.origin,
  s.dest,
  s.flight,
  s.tailnum,
  s.is_late
FROM scheduled s
LEFT JOIN weather w ON w.origin = s.origin AND w.time_hour = s.time_hour - INTERVAL 3 HOURS
WHERE s.is_late IS NOT NULL
