-- One row a flight that arrived. Three hours before departure the weather and the delays of earlier departures are known.
WITH today AS (
  SELECT f.* FROM flights f JOIN dates d ON f.date = d.date
),
slots AS (
  SELECT DISTINCT date, origin, sched_dep_time FROM today
),
departures AS (
  SELECT date, origin, sched_dep_time + dep_delay AS minute, COUNT(*) AS flights, SUM(dep_delay) AS minutes
  FROM today
  WHERE dep_delay IS NOT NULL
  GROUP BY date, origin, sched_dep_time + dep_delay
),
recent AS (
  SELECT s.date, s.origin, s.sched_dep_time, SUM(e.minutes) / SUM(e.flights) AS delay
  FROM slots s
  JOIN departures e
    ON e.date = s.date
    AND e.origin = s.origin
    AND e.minute > s.sched_dep_time - 360
    AND e.minute <= s.sched_dep_time - 180
  GROUP BY s.date, s.origin, s.sched_dep_time
)
SELECT /*+ BROADCAST(r, w) */
  t.date,
  t.flight,
  t.carrier,
  t.origin,
  t.dest,
  t.sched_dep_time,
  t.sched_arr_time,
  t.distance,
  w.temp,
  w.wind_speed,
  w.precip,
  w.visib,
  r.delay AS recent_delay,
  t.arrival_delay
FROM today t
LEFT JOIN recent r ON r.date = t.date AND r.origin = t.origin AND r.sched_dep_time = t.sched_dep_time
LEFT JOIN weather w ON w.origin = t.origin AND w.time_hour = t.time_hour - INTERVAL 3 HOURS
WHERE t.arrival_delay IS NOT NULL
