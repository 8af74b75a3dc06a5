-- One row a flight that arrived: request fields, row key and label. Lookup values are joined by Perennial.
-- Schedules are known in advance, so cancelled flights count in flights_same_hour and flights_same_day.
-- Three hours before departure the weather then and there is known, and so are the departures until then.
-- Flights are counted by minute before they are joined: a day has few minutes, however many its flights are.
WITH today AS (
  SELECT f.* FROM flights f JOIN dates d ON f.date = d.date
),
-- A flight counts at its scheduled minute and, if it left, at the minute when it did.
-- A mean takes early departures as 0 minutes late, and more than 180 minutes as 180.
events AS (
  SELECT date, origin, carrier, tailnum, sched_dep_time AS minute, 1 AS scheduled, 0 AS departed, 0 AS late, 0 AS delay, NULL AS exact_delay
  FROM today
  UNION ALL
  SELECT
    date, origin, carrier, tailnum, INT(sched_dep_time + dep_delay), 0, 1, INT(dep_delay >= 15), INT(LEAST(GREATEST(dep_delay, 0), 180)), dep_delay
  FROM today
  WHERE dep_delay IS NOT NULL
),
minutes AS (
  SELECT date, origin, carrier, minute, SUM(scheduled) AS scheduled, SUM(departed) AS departed, SUM(late) AS late, SUM(delay) AS delay
  FROM events
  GROUP BY date, origin, carrier, minute
),
-- Sums of the day up to three (_3) and six (_6) hours before a minute: their difference is that of the three hours between.
-- Growing frames are added up row by row. Spark computes a sliding frame again for each row.
known AS (
  SELECT
    date,
    origin,
    carrier,
    minute,
    SUM(scheduled) OVER (PARTITION BY date, origin, minute DIV 60) AS flights_same_hour,
    SUM(scheduled) OVER (PARTITION BY date, origin) AS flights_same_day,
    COALESCE(SUM(scheduled - departed) OVER airport_3, 0) AS flights_waiting,
    SUM(departed) OVER airport_3 - COALESCE(SUM(departed) OVER airport_6, 0) AS recent,
    SUM(late) OVER airport_3 - COALESCE(SUM(late) OVER airport_6, 0) AS recent_late,
    SUM(delay) OVER airport_3 - COALESCE(SUM(delay) OVER airport_6, 0) AS recent_delay,
    SUM(departed) OVER network_3 - COALESCE(SUM(departed) OVER network_6, 0) AS network_recent,
    SUM(late) OVER network_3 - COALESCE(SUM(late) OVER network_6, 0) AS network_recent_late,
    SUM(departed) OVER network_3 AS network_today,
    SUM(delay) OVER network_3 AS network_today_delay,
    SUM(departed) OVER carrier_3 AS carrier_today,
    SUM(delay) OVER carrier_3 AS carrier_today_delay
  FROM minutes
  WINDOW
    airport_3 AS (PARTITION BY date, origin ORDER BY minute RANGE BETWEEN UNBOUNDED PRECEDING AND 180 PRECEDING),
    airport_6 AS (PARTITION BY date, origin ORDER BY minute RANGE BETWEEN UNBOUNDED PRECEDING AND 360 PRECEDING),
    network_3 AS (PARTITION BY date ORDER BY minute RANGE BETWEEN UNBOUNDED PRECEDING AND 180 PRECEDING),
    network_6 AS (PARTITION BY date ORDER BY minute RANGE BETWEEN UNBOUNDED PRECEDING AND 360 PRECEDING),
    carrier_3 AS (PARTITION BY date, carrier ORDER BY minute RANGE BETWEEN UNBOUNDED PRECEDING AND 180 PRECEDING)
),
aircraft AS (
  SELECT
    date,
    tailnum,
    minute,
    LAST_VALUE(MAX(exact_delay)) IGNORE NULLS OVER (
      PARTITION BY date, tailnum ORDER BY minute RANGE BETWEEN UNBOUNDED PRECEDING AND 180 PRECEDING
    ) AS aircraft_delay
  FROM events
  WHERE tailnum IS NOT NULL
  GROUP BY date, tailnum, minute
),
evenings AS (
  SELECT d.date, f.origin, COUNT_IF(f.dep_delay >= 15) / COUNT(*) AS evening_late_share
  FROM dates d
  JOIN flights f ON f.date = DATE_SUB(d.date, 1)
  WHERE f.sched_dep_time >= 1140 AND f.dep_delay IS NOT NULL
  GROUP BY d.date, f.origin
),
-- Sums of decimals are exact. A sum of doubles depends on the order of its rows.
skies AS (
  SELECT
    time_hour,
    CAST(SUM(CAST(wind_speed AS DECIMAL(24, 18))) AS DOUBLE) / COUNT(wind_speed) AS network_wind_speed,
    CAST(SUM(CAST(precip AS DECIMAL(24, 18))) AS DOUBLE) / COUNT(precip) AS network_precip,
    CAST(SUM(CAST(pressure AS DECIMAL(24, 18))) AS DOUBLE) / COUNT(pressure) AS network_pressure,
    CAST(SUM(CAST(visib AS DECIMAL(24, 18))) AS DOUBLE) / COUNT(visib) AS network_visib
  FROM weather
  GROUP BY time_hour
)
SELECT /*+ BROADCAST(k, e, s, w) */
  t.date,
  t.sched_dep_time,
  t.sched_arr_time,
  t.distance,
  CAST(k.flights_same_hour AS DOUBLE) AS flights_same_hour,
  CAST(k.flights_same_day AS DOUBLE) AS flights_same_day,
  w.temp,
  w.humid,
  w.wind_speed,
  w.wind_gust,
  w.precip,
  w.pressure,
  w.visib,
  s.network_wind_speed,
  s.network_precip,
  s.network_pressure,
  s.network_visib,
  CAST(k.flights_waiting AS DOUBLE) AS flights_waiting,
  CASE WHEN k.recent >= 5 THEN k.recent_delay / k.recent END AS recent_delay,
  CASE WHEN k.recent >= 5 THEN k.recent_late / k.recent END AS recent_late_share,
  CASE WHEN k.network_recent >= 5 THEN k.network_recent_late / k.network_recent END AS network_late_share,
  CASE WHEN k.network_today >= 5 THEN k.network_today_delay / k.network_today END AS network_delay_today,
  CASE WHEN k.carrier_today >= 3 THEN k.carrier_today_delay / k.carrier_today END AS carrier_delay_today,
  a.aircraft_delay,
  e.evening_late_share,
  t.carrier,
  t.origin,
  t.dest,
  t.flight,
  t.tailnum,
  t.is_late
FROM today t
JOIN known k ON k.date = t.date AND k.origin = t.origin AND k.carrier = t.carrier AND k.minute = t.sched_dep_time
LEFT JOIN aircraft a ON a.date = t.date AND a.tailnum = t.tailnum AND a.minute = t.sched_dep_time
LEFT JOIN evenings e ON e.date = t.date AND e.origin = t.origin
LEFT JOIN skies s ON s.time_hour = t.time_hour - INTERVAL 3 HOURS
LEFT JOIN weather w ON w.origin = t.origin AND w.time_hour = t.time_hour - INTERVAL 3 HOURS
WHERE t.is_late IS NOT NULL
