-- Who signed in to the AWS console with a password alone, without a second factor?
-- Change: nothing. Federated sign-ins are left out: their second factor is the identity provider's.
SELECT
    eventTime,
    eventData.userIdentity.type AS identityType,
    eventData.userIdentity.principalId AS principal,
    element_at(eventData.userIdentity.details, 'arn') AS arn,
    eventData.sourceIPAddress AS address
FROM $EDS_ID
WHERE eventTime >= '$FROM'
    AND eventTime < '$TO'
    AND eventData.eventName = 'ConsoleLogin'
    AND element_at(eventData.responseElements, 'ConsoleLogin') = 'Success'
    AND element_at(eventData.additionalEventData, 'MFAUsed') IS DISTINCT FROM 'Yes'
    AND element_at(eventData.additionalEventData, 'SamlProviderArn') IS NULL
ORDER BY eventTime DESC
