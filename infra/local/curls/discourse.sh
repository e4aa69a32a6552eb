body='{"user":{"id":'$(date +%s)',"username":"grace","name":"Grace Mill","email":"grace@example.com","active":true,"created_at":"'$(date -u +%Y-%m-%dT%H:%M:%SZ)'"}}'
curl -s '@URL@' -H 'Host: @HOST@' -H 'Content-Type: application/json' -H 'X-Discourse-Instance: https://forum.example.com' \
  -H 'X-Discourse-Event-Type: user' -H 'X-Discourse-Event: user_created' \
  -H "X-Discourse-Event-Signature: sha256=$(printf '%s' "$body" | openssl dgst -sha256 -hmac '@SECRET@' -r | cut -d' ' -f1)" --data-binary "$body"
