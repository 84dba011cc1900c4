# Push from a PowerShell script (Windows PowerShell 5.1 or PowerShell 7).
#
#   $env:GATEWAY = 'http://localhost:9091'; .\push.ps1
#
# POST adds: run this twice and the counter shows the sum of both runs. PUT would replace
# everything that the group (job "disk_cleanup" on this host) has pushed so far.
$ErrorActionPreference = 'Stop'

$gateway = if ($env:GATEWAY) { $env:GATEWAY } else { 'http://localhost:9091' }

# A value may hold any character once it is escaped for a URL.
$instance = [uri]::EscapeDataString([Environment]::MachineName)

# The TYPE line is what makes a counter a counter: without it a series is untyped, and the
# latest push replaces it (unless its name ends in _total).
$lines = @(
    '# HELP cleanup_files_total Files removed by the cleanup.'
    '# TYPE cleanup_files_total counter'
    'cleanup_files_total{drive="C:"} 42'
    '# HELP cleanup_last_success_timestamp_seconds When the cleanup last ended well.'
    '# TYPE cleanup_last_success_timestamp_seconds gauge'
    "cleanup_last_success_timestamp_seconds $([DateTimeOffset]::UtcNow.ToUnixTimeSeconds())"
)

# As bytes, since Windows PowerShell sends text as Latin-1. Tallygate also takes Windows line
# ends and a body without a final one; the stock gateway needs "`n" after every line.
$body = [Text.Encoding]::UTF8.GetBytes(($lines -join "`n") + "`n")

# Throws when the push is refused; the error shows the gateway's reason.
Invoke-RestMethod -Method Post -Uri "$gateway/metrics/job/disk_cleanup/instance/$instance" `
    -ContentType 'text/plain; version=0.0.4; charset=utf-8' -Body $body | Out-Null

Write-Output "pushed to $gateway"
