-- Hands the host that Trimtab names (form `lua` of its destination) to Envoy. Stands behind Trimtab's filter in the chain.
-- A host that the cluster does not have, and a request without the header, are left to the cluster's own policy.

function envoy_on_request(request)
  local host = request:headers():get("x-gateway-destination-endpoint")
  if host ~= nil then
    request:setUpstreamOverrideHost(host, false)
  end
end
