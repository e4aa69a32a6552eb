body='{"type":"event_callback","event_id":"Ev'$(date +%s)'","event_time":'$(date +%s)',"event":{"type":"team_join","user":{"id":"U'$(date +%s)'","real_name":"Ada Wells","tz":"Europe/Berlin","profile":{"email":"ada@example.com"}}}}'
ts=$(date +%s)
curl -s '@URL@' -H 'Host: @HOST@' -H 'Content-Type: application/json' -H "X-Slack-Request-Timestamp: $ts" \
  -H "X-Slack-Signature: v0=$(printf 'v0:%s:%s' "$ts" "$body" | openssl dgst -sha256 -hmac '@SECRET@' -r | cut -d' ' -f1)" --data-binary "$body"
