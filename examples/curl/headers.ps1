# Who answered and why: engine, model, reason, the defaults that were filled in.
. "$PSScriptRoot/common.ps1"
$json = @{
    model      = $Model
    messages   = @(@{ role = 'user'; content = 'Hello' })
    max_tokens = 1
} | ConvertTo-Json -Depth 20 -Compress
$response = Invoke-WebRequest "$BaseUrl/v1/chat/completions" -Method Post -Headers $Headers `
    -ContentType 'application/json' -Body $json -UseBasicParsing
$response.Headers.GetEnumerator() | Where-Object Key -Like 'x-*' |
    ForEach-Object { "$($_.Key): $($_.Value)" }
