-- One row a reading whose outcome is known.
SELECT
  r.date,
  r.reading_id,
  r.temperature,
  r.pressure,
  r.machine,
  r.mode,
  r.has_fault AS fault
FROM dates d JOIN readings r ON r.date = d.date
WHERE r.has_fault IS NOT NULL
