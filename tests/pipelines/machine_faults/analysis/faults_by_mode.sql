-- Faults by operating mode.
SELECT
  r.date,
  r.mode,
  COUNT(*) AS readings,
  COUNT_IF(r.has_fault) AS faults
FROM dates d JOIN readings r ON r.date = d.date
GROUP BY r.date, r.mode
