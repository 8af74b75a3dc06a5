-- What the register knows about an aircraft; one it does not know has neither age nor seats.
SELECT
  d.as_of,
  p.tailnum,
  CAST(YEAR(d.as_of) - p.year AS DOUBLE) AS age_years,
  CAST(p.seats AS DOUBLE) AS seats
FROM dates d CROSS JOIN planes p
