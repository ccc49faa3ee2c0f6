# A picture (one red pixel) with a question; $env:MODEL must name a model that sees.
. "$PSScriptRoot/common.ps1"
$answer = Send-Json '/v1/chat/completions' @{
    model      = $Model
    max_tokens = 32
    messages   = @(@{
            role    = 'user'
            content = @(
                @{ type = 'text'; text = 'Which colour is this?' }
                @{ type = 'image_url'; image_url = @{ url = 'data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4z8AAAAMBAQDJ/pLvAAAAAElFTkSuQmCC' } }
            )
        })
}
$answer.choices[0].message.content
