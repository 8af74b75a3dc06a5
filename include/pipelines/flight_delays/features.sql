-- One row a flight that arrived: request fields, row key and label. Lookup values are joined by Perennial.
-- Schedules are known in advance, so cancelled flights count in flights_same_hour and flights_same_day.
-- Three hours before departure the weather then and there is known, and so is how punctually the airport has worked.
WITH scheduled AS (
  SELECT
    f.*,
    COUNT(*) OVER (PARTITION BY f.date, f.origin, f.sched_dep_time DIV 60) AS flights_same_hour,
    COUNT(*) OVER (PARTITION BY f.date, f.origin) AS flights_same_day
  FROM flights f
  JOIN dates d ON f.date = d.date
),
slots AS (
  SELECT DISTINCT date, origin, sched_dep_time FROM scheduled
),
-- Of the departures from six to three hours before: the share that left 15 or more minutes late; null for fewer than five.
punctuality AS (
  SELECT
    s.date,
    s.origin,
    s.sched_dep_time,
    CASE WHEN COUNT(*) >= 5 THEN AVG(IF(e.dep_delay >= 15, 1, 0)) END AS recent_late_share
  FROM slots s
  JOIN scheduled e
    ON e.date = s.date
    AND e.origin = s.origin
    AND e.sched_dep_time + e.dep_delay > s.sched_dep_time - 360
    AND e.sched_dep_time + e.dep_delay <= s.sched_dep_time - 180
  GROUP BY s.date, s.origin, s.sched_dep_time
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
  p.recent_late_share,
  s.carrier,
  s.origin,
  s.dest,
  s.flight,
  s.tailnum,
  s.is_late
FROM scheduled s
LEFT JOIN weather w ON w.origin = s.origin AND w.time_hour = s.time_hour - INTERVAL 3 HOURS
LEFT JOIN punctuality p ON p.date = s.date AND p.origin = s.origin AND p.sched_dep_time = s.sched_dep_time
WHERE s.is_late IS NOT NULL
