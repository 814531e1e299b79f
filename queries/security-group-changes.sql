-- Who changed a security group?
-- Change: nothing. A group that is being made has no id yet: its name stands in the request.
SELECT
    eventTime,
    eventData.eventName AS name,
    coalesce(
        element_at(eventData.requestParameters, 'groupId'), element_at(eventData.requestParameters, 'groupName')
    ) AS securityGroup,
    eventData.userIdentity.principalId AS principal,
    eventData.sourceIPAddress AS address,
    eventData.errorCode AS errorCode
FROM $EDS_ID
WHERE eventTime >= '$FROM'
    AND eventTime < '$TO'
    AND eventData.eventName IN (
        'CreateSecurityGroup',
        'DeleteSecurityGroup',
        'AuthorizeSecurityGroupIngress',
        'AuthorizeSecurityGroupEgress',
        'RevokeSecurityGroupIngress',
        'RevokeSecurityGroupEgress',
        'ModifySecurityGroupRules'
    )
ORDER BY eventTime DESC
