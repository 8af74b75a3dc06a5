-- Clean weather: one row an airport and hour.
SELECT date, origin, time_hour, temp, dewp, humid, wind_speed, pressure, visib, precip FROM drop
