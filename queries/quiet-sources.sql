-- Which sources have gone quiet, the longest silence first?
-- Change: nothing. The silence is counted up to the end of the time that you look at.
SELECT
    eventData.eventSource AS source,
    metadata.channelARN AS channel,
    count(*) AS events,
    max(eventTime) AS lastTime,
    date_diff('minute', max(eventTime), CAST('$TO' AS timestamp)) AS minutesQuiet
FROM $EDS_ID
WHERE eventTime >= '$FROM'
    AND eventTime < '$TO'
GROUP BY eventData.eventSource, metadata.channelARN
ORDER BY minutesQuiet DESC, source
