"""
Why a test of another server's suite ends with ours in another way, by suite and by a pattern of the tests' names.
"""

from __future__ import annotations

DIFFERENCES: dict[str, dict[str, str]] = {
    "daphne": {
        "test_request_body_chunking": "daphne can be told the size of the pieces of a body (`request_buffer_size`); "
        "ours gives what has come, and a small body at once",
        "test_root_path": "a client that sends the field `Daphne-Root-Path` sets daphne's `root_path`; "
        "with ours the option `--root-path` does, and no client",
        "test_x_forwarded_for|test_xff": "the test takes `client` as a list only, and the port from "
        "`X-Forwarded-Port`; ours is a tuple, with the address that `X-Forwarded-For` names",
        r"test_http_response\.py::\w+::test_headers$": "the test compares all fields of a response, "
        "with `Server: daphne`; ours has Date and Content-Length",
        "test_headers_type|test_status_code_required": "what an app must not send raises ValueError in daphne; ours "
        "raises LocalProtocolError, and its message differs",
        "TestHeaderValueInjection": "of six bytes five are refused by both; ours takes 0x85 in a field's value, which "
        "is obs-text (RFC 9110 section 5.5) and ends no line; daphne splits text there, and so refuses it",
        "test_application_checker": "the test takes daphne's server apart, by its private names",
    },
    "uvicorn http": {
        "test_invalid_header_name|test_response_header_splitting|test_partial_response|test_duplicate_start": "an app "
        "that fails before anything of its response is sent: uvicorn has taken its start for sent and closes the "
        "connection without a word; ours answers 500",
        "test_request_logging": "the test reads the log of uvicorn by its name; ours has an access log of its own",
        "test_chunked_encoding": "a body that is given whole is sent with its Content-Length, whatever the app says of "
        "`Transfer-Encoding`, which is the server's",
        "test_message_after_body_complete|test_value_returned": "an app that sends more after its response, which the "
        "specification has ignored, or that returns a value: uvicorn closes the connection; ours keeps it",
        "test_max_concurrency": "an option of uvicorn's, `limit_concurrency`: ours lets connections wait",
        "test_shutdown_during_idle": "at its end uvicorn closes a connection on which nothing has come yet at once; "
        "ours waits for what may be on its way",
        "test_100_continue_sent": "the body has come with the head, and then no 100 is needed (RFC 9110 section "
        "10.1.1)",
        "test_keepalive_timeout_with_pipelined_websocket": "the test skips itself for httptools",
        "test_supported_upgrade_request": "a handshake of another version of WebSocket: uvicorn answers 426 before the "
        "app is asked, ours when the app accepts",
        "test_unsupported_ws|test_header_upgrade_is": "the words of uvicorn's log, and its "
        "options for another WebSocket library or none",
        "test_scopes": "ASGI 2 apps are refused, with the name of what wraps them",
        "test_invalid_http_request": "both answer 400; ours says what is wrong instead of uvicorn's sentence",
        "test_huge_headers": "a head of 64 KiB, which httptools takes; ours answers 431 beyond 32 KiB, and "
        "`--limits message.head=…` sets another bound",
        "test_return_close_header|test_close_connection_with_multiple": "the test looks for `content-length` in lower "
        "case; ours is `Content-Length`, the same field",
        "test_httptools_http10_keep_alive": "uvicorn keeps no connection of an HTTP/1.0 client; ours does when the "
        "client asks for it",
    },
    "uvicorn websocket": {
        "test_invalid_upgrade": "a request with `Sec-WebSocket-Version: 11` and no key: uvicorn refuses it before the "
        "app is asked, ours when the app accepts",
        "test_can_disable_permessage_deflate": "an option of uvicorn's",
        "test_duplicate_handshake|test_asgi_return_value|test_close_transport_on_asgi_return": "an app that fails, or "
        "returns without a close: uvicorn drops the connection (1006 at the client); ours closes it with 1011 or 1000",
        "test_connection_lost_before_handshake_complete": "the server ends while an app has not accepted yet: uvicorn "
        "tells it of a disconnect, ours cancels it at the deadline",
        r"test_send_close_on_server|test_server_reject_connection(_with_(response|multibody_response))?\[": "the test "
        "compares the whole message: ours has the key `reason` too, which the specification has since 2.3",
        "test_send_binary_data_to_server_bigger": "a message of more than the bound, sent by a client that reads only "
        "when it has sent all of it: ours closes with 1009, and then resets",
        "test_server_reject_connection_with_invalid_status": "the text of the 500 ends with a newline",
        "test_frame_after_close_handshake": "the test takes uvicorn's protocol out of the server's private state",
        "test_default_server_headers|test_multiple_server_header": "the field `Server: uvicorn`; ours sends none",
        "test_server_keepalive_ping_timeout": "both close with 1011; the reason's words differ",
    },
    "gunicorn asgi_compliance": {
        r"test_status_codes\[(204|304)\]": "the suite's app gives a 204 and a 304 a body, which gunicorn drops; ours "
        "answers 500 and logs why",
    },
}
