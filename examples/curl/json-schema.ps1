# An answer that is JSON of a given shape.
. "$PSScriptRoot/common.ps1"
$answer = Send-Json '/v1/chat/completions' @{
    model           = $Model
    messages        = @(@{ role = 'user'; content = 'Name a metal and its melting point in Celsius.' })
    max_tokens      = 64
    response_format = @{
        type        = 'json_schema'
        json_schema = @{
            name   = 'metal'
            strict = $true
            schema = @{
                type                 = 'object'
                properties           = @{ name = @{ type = 'string' }; melting_point = @{ type = 'integer' } }
                required             = @('name', 'melting_point')
                additionalProperties = $false
            }
        }
    }
}
$answer.choices[0].message.content
