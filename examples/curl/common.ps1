# Dot-sourced by the scripts beside it: where Crucible is, which model, how to ask.
# $env:BASE_URL, $env:MODEL and $env:API_KEY may be set.
$ErrorActionPreference = 'Stop'
$BaseUrl = if ($env:BASE_URL) { $env:BASE_URL } else { 'http://127.0.0.1:8484' }
$Headers = @{ Authorization = 'Bearer ' + $(if ($env:API_KEY) { $env:API_KEY } else { 'any' }) }
$Model = $env:MODEL
if (-not $Model) {
    $Model = (Invoke-RestMethod "$BaseUrl/v1/models" -Headers $Headers).data[0].id
    if (-not $Model) { throw "no model is listed at $BaseUrl/v1/models" }
}

# Posts a hashtable as JSON and gives the parsed answer.
function Send-Json($Path, $Body) {
    $json = $Body | ConvertTo-Json -Depth 20 -Compress
    # Bytes, because PowerShell 5 would send a string as Latin-1.
    $bytes = [Text.Encoding]::UTF8.GetBytes($json)
    Invoke-RestMethod "$BaseUrl$Path" -Method Post -Headers $Headers `
        -ContentType 'application/json' -Body $bytes
}
