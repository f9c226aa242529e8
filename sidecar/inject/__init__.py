"""`sidecar inject`: the sidecar and the instrumentation put into pods, in manifests and by an admission webhook.

`pod` is the whole change, values in and values out; `manifests` and `review` find the pods in what people and the API
server hand in; `server` is the webhook.
"""
