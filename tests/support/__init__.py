"""What tests share: engines, clients, payload builders."""
