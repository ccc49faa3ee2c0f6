# Where a request would go and why, with all candidates; nothing is sent to an engine.
. "$PSScriptRoot/common.ps1"
Send-Json '/crucible/explain' @{
    model    = $Model
    messages = @(@{ role = 'user'; content = 'Hello' })
} | ConvertTo-Json -Depth 20
