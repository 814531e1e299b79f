-- How long did events take from happening to being in the lake: the middle one, one of twenty, the slowest?
-- Change: nothing. In seconds, by source. History that was sent later counts with its whole age.
SELECT
    source,
    count(*) AS events,
    approx_percentile(seconds, 0.5) AS medianSeconds,
    approx_percentile(seconds, 0.95) AS slowSeconds,
    max(seconds) AS slowestSeconds
FROM (
    SELECT
        eventData.eventSource AS source,
        date_diff(
            'second', eventTime, CAST(replace(substr(metadata.ingestionTime, 1, 19), 'T', ' ') AS timestamp)
        ) AS seconds
    FROM $EDS_ID
    WHERE eventTime >= '$FROM'
        AND eventTime < '$TO'
) AS waits
GROUP BY source
ORDER BY slowestSeconds DESC
