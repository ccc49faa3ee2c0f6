# Offers a function; a model that can use tools answers with "tool_calls".
. "$PSScriptRoot/common.ps1"
$answer = Send-Json '/v1/chat/completions' @{
    model      = $Model
    messages   = @(@{ role = 'user'; content = 'What is the weather in Oslo?' })
    max_tokens = 128
    tools      = @(@{
            type     = 'function'
            function = @{
                name        = 'get_weather'
                description = 'The current weather of a city'
                parameters  = @{
                    type       = 'object'
                    properties = @{ city = @{ type = 'string' } }
                    required   = @('city')
                }
            }
        })
}
$answer.choices[0].message | ConvertTo-Json -Depth 20
