-- One row a flight that arrived: request fields, row key and label. Lookup values are joined by Perennial.
-- Schedules are known in advance, so cancelled flights count in flights_same_hour and flights_same_day.
-- Three hours before departure the weather then and there is known, and so is how punctually the airport has worked.
-- Flights are counted by minute before they are joined: a day has few minutes, however many its flights are.
WITH today AS (
  SELECT f.* FROM flights f JOIN dates d ON f.date = d.date
),
slots AS (
  SELECT date, origin, sched_dep_time, COUNT(*) AS flights FROM today GROUP BY date, origin, sched_dep_time
),
departures AS (
  SELECT date, origin, sched_dep_time + dep_delay AS dep_minute, COUNT(*) AS flights, COUNT_IF(dep_delay >= 15) AS late
  FROM today
  GROUP BY date, origin, sched_dep_time + dep_delay
),
-- Of the departures from six to three hours before: the share that left 15 or more minutes late; null for fewer than five.
punctuality AS (
  SELECT
    s.date,
    s.origin,
    s.sched_dep_time,
    CASE WHEN SUM(e.flights) >= 5 THEN SUM(e.late) / SUM(e.flights) END AS recent_late_share
  FROM slots s
  JOIN departures e
    ON e.date = s.date
    AND e.origin = s.origin
    AND e.dep_minute > s.sched_dep_time - 360
    AND e.dep_minute <= s.sched_dep_time - 180
  GROUP BY s.date, s.origin, s.sched_dep_time
),
counts AS (
  SELECT
    s.date,
    s.origin,
    s.sched_dep_time,
    SUM(s.flights) OVER (PARTITION BY s.date, s.origin, s.sched_dep_time DIV 60) AS flights_same_hour,
    SUM(s.flights) OVER (PARTITION BY s.date, s.origin) AS flights_same_day,
    p.recent_late_share
  FROM slots s
  LEFT JOIN punctuality p ON p.date = s.date AND p.origin = s.origin AND p.sched_dep_time = s.sched_dep_time
)
SELECT /*+ BROADCAST(c, w) */
  t.date,
  t.sched_dep_time,
  t.sched_arr_time,
  t.distance,
  CAST(c.flights_same_hour AS DOUBLE) AS flights_same_hour,
  CAST(c.flights_same_day AS DOUBLE) AS flights_same_day,
  w.temp,
  w.humid,
  w.wind_speed,
  w.wind_gust,
  w.precip,
  w.pressure,
  w.visib,
  c.recent_late_share,
  t.carrier,
  t.origin,
  t.dest,
  t.flight,
  t.tailnum,
  t.is_late
FROM today t
JOIN counts c ON c.date = t.date AND c.origin = t.origin AND c.sched_dep_time = t.sched_dep_time
LEFT JOIN weather w ON w.origin = t.origin AND w.time_hour = t.time_hour - INTERVAL 3 HOURS
WHERE t.is_late IS NOT NULL
