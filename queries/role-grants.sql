-- Who gave or took a role, a privilege or a policy, in AWS and elsewhere?
-- Change: nothing. Names at AWS are listed, because most that contain "Role" there grant nothing.
SELECT
    eventTime,
    eventData.eventSource AS source,
    eventData.eventName AS name,
    eventData.userIdentity.principalId AS principal,
    coalesce(
        element_at(eventData.userIdentity.details, 'target_name'),
        element_at(eventData.requestParameters, 'userName'),
        element_at(eventData.requestParameters, 'roleName'),
        element_at(eventData.requestParameters, 'groupName')
    ) AS grantedTo,
    coalesce(
        element_at(eventData.userIdentity.details, 'roles'),
        element_at(eventData.requestParameters, 'policyArn'),
        element_at(eventData.requestParameters, 'policyName')
    ) AS granted
FROM $EDS_ID
WHERE eventTime >= '$FROM'
    AND eventTime < '$TO'
    AND (
        (
            eventData.eventSource = 'iam.amazonaws.com'
            AND eventData.eventName IN (
                'AttachUserPolicy',
                'AttachRolePolicy',
                'AttachGroupPolicy',
                'PutUserPolicy',
                'PutRolePolicy',
                'PutGroupPolicy',
                'DetachUserPolicy',
                'DetachRolePolicy',
                'DetachGroupPolicy',
                'DeleteUserPolicy',
                'DeleteRolePolicy',
                'DeleteGroupPolicy',
                'AddUserToGroup',
                'RemoveUserFromGroup',
                'UpdateAssumeRolePolicy'
            )
        )
        OR (
            eventData.eventSource NOT LIKE '%.amazonaws.com'
            AND regexp_like(lower(eventData.eventName), 'role|privilege|iampolicy')
        )
    )
ORDER BY eventTime DESC
