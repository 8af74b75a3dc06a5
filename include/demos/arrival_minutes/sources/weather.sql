-- Clean weather: one row an airport and hour.
SELECT date, origin, time_hour, temp, wind_speed, precip, visib FROM drop
