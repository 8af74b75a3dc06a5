-- Clean flights: one row a scheduled departure; clock times as minutes since midnight.
SELECT
  date,
  carrier,
  CAST(flight AS STRING) AS flight,
  origin,
  dest,
  tailnum,
  CAST((sched_dep_time DIV 100) * 60 + sched_dep_time % 100 AS INT) AS sched_dep_time,
  CAST((sched_arr_time DIV 100) * 60 + sched_arr_time % 100 AS INT) AS sched_arr_time,
  dep_delay,
  arr_delay,
  arr_delay >= 30 AS is_late,      -- null when cancelled or diverted
  air_time,
  distance,
  time_hour
FROM drop
