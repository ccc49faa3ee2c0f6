# Run this as the user who runs Ollama, then restart Ollama.
# empty is unset
[Environment]::SetEnvironmentVariable('CUDA_VISIBLE_DEVICES', '-1', 'User')
[Environment]::SetEnvironmentVariable('OLLAMA_NUM_PARALLEL', '2', 'User')
# a --- b c
[Environment]::SetEnvironmentVariable('ODD', 'a "b" ''c'' \ $d %h <e> & `f`
line', 'User')
# OLLAMA_NUM_GPU does not exist
