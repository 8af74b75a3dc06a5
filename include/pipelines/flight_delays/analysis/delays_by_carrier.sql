-- Each carrier's day: flights, cancellations, late share, delay of arrival.
SELECT
  f.date,
  f.carrier,
  COUNT(*) AS flights,
  COUNT_IF(f.is_late IS NULL) AS not_arrived,
  COUNT_IF(f.is_late) AS late,
  CAST(AVG(CAST(f.arr_delay AS DECIMAL(10, 2))) AS DECIMAL(10, 2)) AS mean_arr_delay,
  PERCENTILE(f.arr_delay, 0.9) AS p90_arr_delay
FROM dates d JOIN flights f ON f.date = d.date
GROUP BY f.date, f.carrier
