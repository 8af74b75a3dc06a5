-- How delay builds up over the day, by airport and scheduled hour.
SELECT
  f.date,
  f.origin,
  CAST(f.sched_dep_time DIV 60 AS INT) AS sched_hour,
  COUNT(*) AS flights,
  COUNT_IF(f.is_late) AS late,
  CAST(AVG(CAST(f.dep_delay AS DECIMAL(10, 2))) AS DECIMAL(10, 2)) AS mean_dep_delay
FROM dates d JOIN flights f ON f.date = d.date
GROUP BY f.date, f.origin, CAST(f.sched_dep_time DIV 60 AS INT)
