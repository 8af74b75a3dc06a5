-- Late flights by the wind and the visibility at the hour of departure.
SELECT
  f.date,
  f.origin,
  CASE WHEN w.wind_speed IS NULL THEN 'unknown' WHEN w.wind_speed < 10 THEN 'calm' WHEN w.wind_speed < 20 THEN 'breeze' ELSE 'strong' END AS wind,
  CASE WHEN w.visib IS NULL THEN 'unknown' WHEN w.visib < 3 THEN 'poor' WHEN w.visib < 10 THEN 'fair' ELSE 'clear' END AS visibility,
  COUNT(*) AS flights,
  COUNT_IF(f.is_late) AS late
FROM dates d
JOIN flights f ON f.date = d.date
LEFT JOIN weather w ON w.origin = f.origin AND w.time_hour = f.time_hour
GROUP BY 1, 2, 3, 4
