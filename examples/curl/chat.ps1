# One question, one answer. Usage: chat.ps1 [QUESTION]; set $env:MODEL to choose.
param([string]$Question = 'What is a crucible?')
. "$PSScriptRoot/common.ps1"
$answer = Send-Json '/v1/chat/completions' @{
    model      = $Model
    messages   = @(@{ role = 'user'; content = $Question })
    max_tokens = 64
}
$answer.choices[0].message.content
