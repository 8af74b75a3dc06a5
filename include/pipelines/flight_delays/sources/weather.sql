-- Clean weather: one row an airport and hour.
SELECT date, origin, time_hour, temp, dewp, humid, wind_dir, wind_speed, wind_gust, precip, pressure, visib
FROM drop
