id=msg_$(date +%s); ts=$(date +%s)
body='{"type":"member.joined","timestamp":"'$(date -u +%Y-%m-%dT%H:%M:%SZ)'","data":{"actor":{"id":"'$id'","name":"Лида","email":"lida@example.com","locale":"ru","timezone":"Europe/Moscow"}}}'
key=$(printf '%s' '@SECRET@' | cut -c7- | base64 -d | od -An -tx1 | tr -d ' \n')
curl -s '@URL@' -H 'Host: @HOST@' -H 'Content-Type: application/json' -H "webhook-id: $id" -H "webhook-timestamp: $ts" \
  -H "webhook-signature: v1,$(printf '%s.%s.%s' "$id" "$ts" "$body" | openssl dgst -sha256 -mac HMAC -macopt "hexkey:$key" -binary | base64)" --data-binary "$body"
