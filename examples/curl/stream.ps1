# The answer as it is generated.
param([string]$Question = 'What is a crucible?')
. "$PSScriptRoot/common.ps1"
Add-Type -AssemblyName System.Net.Http
$json = @{
    model      = $Model
    messages   = @(@{ role = 'user'; content = $Question })
    max_tokens = 64
    stream     = $true
} | ConvertTo-Json -Depth 20 -Compress
$client = [Net.Http.HttpClient]::new()
$request = [Net.Http.HttpRequestMessage]::new([Net.Http.HttpMethod]::Post, "$BaseUrl/v1/chat/completions")
$request.Headers.TryAddWithoutValidation('Authorization', $Headers.Authorization) | Out-Null
$request.Content = [Net.Http.StringContent]::new($json, [Text.Encoding]::UTF8, 'application/json')
$response = $client.SendAsync($request, [Net.Http.HttpCompletionOption]::ResponseHeadersRead).Result
if (-not $response.IsSuccessStatusCode) {
    throw "status $([int]$response.StatusCode): $($response.Content.ReadAsStringAsync().Result)"
}
$reader = [IO.StreamReader]::new($response.Content.ReadAsStreamAsync().Result)
while ($null -ne ($line = $reader.ReadLine())) {
    if (-not $line.StartsWith('data: ') -or $line -eq 'data: [DONE]') { continue }
    $chunk = $line.Substring(6) | ConvertFrom-Json
    if ($chunk.error) { throw $chunk.error.message }
    if ($chunk.choices) { Write-Host -NoNewline $chunk.choices[0].delta.content }
}
Write-Host
$client.Dispose()
