# Every name that can be asked for: models, aliases, virtual models.
. "$PSScriptRoot/common.ps1"
(Invoke-RestMethod "$BaseUrl/v1/models" -Headers $Headers).data.id
