// React Hook for WebSocket
import { useState, useEffect, useRef } from 'react';
function useWebSocket(url) {
  const [isConnected, setIsConnected] = useState(false);
  const [messages, setMessages] = useState([]);
  const socket = useRef(null);
  useEffect(() => {
    socket.current = new WebSocket(url);
    socket.current.onopen = () => setIsConnected(true);
    socket.current.onclose = () => setIsConnected(false);
    socket.current.onmessage = (event) => {
      const message = JSON.parse(event.data);
      setMessages(prev => [...prev, message]);
    };
    return () => socket.current.close();
  }, [url]);
  const sendMessage = (type, data) => {
    if (socket.current && socket.current.readyState === WebSocket.OPEN) {
      const message = { type, data, timestamp: new Date().toISOString() };
      socket.current.send(JSON.stringify(message));
    }
  };
  return { isConnected, messages, sendMessage };
}
// Component usage
function PortfolioTracker({ portfolioId }) {
  const { isConnected, messages, sendMessage } = useWebSocket('ws://localhost:8000/ws/realtime/');
  const [portfolioValue, setPortfolioValue] = useState(0);
  useEffect(() => {
    if (isConnected) {
      sendMessage('subscribe_portfolio', { portfolio_id: portfolioId });
    }
  }, [isConnected, portfolioId]);
  useEffect(() => {
    const portfolioUpdates = messages.filter(m => m.type === 'portfolio_update');
    const latestUpdate = portfolioUpdates[portfolioUpdates.length - 1];
    if (latestUpdate) {
      setPortfolioValue(latestUpdate.data.total_value);
    }
  }, [messages]);
  return (
    <div>
      <h3>Portfolio Value: ${portfolioValue.toFixed(2)}</h3>
      <div>Status: {isConnected ? 'Connected' : 'Disconnected'}</div>
    </div>
  );
}
