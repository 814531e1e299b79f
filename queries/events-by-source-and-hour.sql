-- How many events came from each source in each hour, and how many of them tell of an error?
-- Change: nothing. A source that misses an hour has no row for it.
SELECT
    date_trunc('hour', eventTime) AS hour,
    eventData.eventSource AS source,
    count(*) AS events,
    count(eventData.errorCode) AS errors
FROM $EDS_ID
WHERE eventTime >= '$FROM'
    AND eventTime < '$TO'
GROUP BY date_trunc('hour', eventTime), eventData.eventSource
ORDER BY hour, source
