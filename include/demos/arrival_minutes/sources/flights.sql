-- Clean flights: clock times as minutes since midnight, delays in minutes.
SELECT
  date,
  carrier,
  CAST(flight AS STRING) AS flight,
  origin,
  dest,
  CAST(sched_dep_time DIV 100 * 60 + sched_dep_time % 100 AS INT) AS sched_dep_time,
  CAST(sched_arr_time DIV 100 * 60 + sched_arr_time % 100 AS INT) AS sched_arr_time,
  dep_delay,
  arr_delay AS arrival_delay,      -- null when cancelled or diverted
  distance,
  time_hour
FROM drop
