-- From which addresses did sign-ins fail, how often, and for how many users?
-- Change: the names of sign-ins, for sources of your own, and the least number that matters.
SELECT
    eventData.sourceIPAddress AS address,
    count(*) AS failures,
    count(DISTINCT eventData.userIdentity.principalId) AS principals,
    min(eventTime) AS firstTime,
    max(eventTime) AS lastTime
FROM $EDS_ID
WHERE eventTime >= '$FROM'
    AND eventTime < '$TO'
    AND (
        (
            eventData.eventName = 'ConsoleLogin'
            AND element_at(eventData.responseElements, 'ConsoleLogin') = 'Failure'
        )
        OR (
            eventData.eventName IN ('user.session.start', 'userAuthenticate', 'twoFactorAuthenticate')
            AND eventData.errorCode IS NOT NULL
        )
    )
GROUP BY eventData.sourceIPAddress
HAVING count(*) >= 1
ORDER BY failures DESC, address
